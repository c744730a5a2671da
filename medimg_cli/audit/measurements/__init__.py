"""What is measured once of every image: statistics, quality, thumbnails."""
