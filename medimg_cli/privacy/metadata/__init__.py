"""What stands beside the pixels of pictures: EXIF, XMP, IPTC, comments, and bytes behind the end."""
