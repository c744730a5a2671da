"""Any file to pixels: readers, archives, DICOM."""
