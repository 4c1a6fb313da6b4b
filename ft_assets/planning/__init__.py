"""What has to be made anew, and whether it may run by itself. Plain Python: nothing here knows Dagster."""
