"""Data sets, metrics, runner, calibration."""
