"""Processes that run jobs: one for each device, watched and started again by a supervisor."""
