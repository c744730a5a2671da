"""The data set: manifest, labels, patients, splits."""
