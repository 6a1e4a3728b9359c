from dogsim.accuracy import Accuracy as Accuracy
from dogsim.accuracy import accuracy as accuracy
from dogsim.backbones import BACKBONES as BACKBONES
from dogsim.backbones import Extractor as Extractor
from dogsim.backbones import extractor_for as extractor_for
from dogsim.backbones import load_extractor as load_extractor
from dogsim.classify import Answer as Answer
from dogsim.classify import classify as classify
from dogsim.classify import majority_vote as majority_vote
from dogsim.create_dataset import create_dataset as create_dataset
from dogsim.dataset import Dataset as Dataset
from dogsim.display import show_or_save as show_or_save
from dogsim.dist_calc import METRICS as METRICS
from dogsim.dist_calc import dist_calc as dist_calc
from dogsim.dist_calc import mink as mink
from dogsim.dist_calc import nearest as nearest
from dogsim.errors import DogsimError as DogsimError
from dogsim.feature_extract import extract_features as extract_features
from dogsim.feature_extract import feature_extract as feature_extract
from dogsim.images import find_pictures as find_pictures
from dogsim.images import load_image as load_image
from dogsim.plots import result_grid as result_grid
from dogsim.recipe import Recipe as Recipe
from dogsim.sample import sample_dataset as sample_dataset
from dogsim.sample import sample_queries as sample_queries

__version__: str
