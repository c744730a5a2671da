"""The study's folder: settings, files, tables, locks, progress, worker pool."""
