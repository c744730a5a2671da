"""What opens DICOM images: all that stands on pydicom, imported when the first such file is met."""
