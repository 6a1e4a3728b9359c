"""Figures: functions that return a matplotlib `Figure`; `display` shows or saves them."""
