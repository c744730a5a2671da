"""`medimg serve --dicom-port`: a DICOM node that stores, answers and delivers."""
