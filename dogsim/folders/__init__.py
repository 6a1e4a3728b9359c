"""Create and update datasets from a user's folder of images.

`listing` finds the images, `extraction` computes their features shard by shard, `checkpoints`
stores the shards of unfinished runs, `manifest` finds the features that are still valid, and
`resumable` combines them into the dataset.
"""
