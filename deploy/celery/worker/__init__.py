"""Where ``celery`` finds its application."""
