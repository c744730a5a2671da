"""ONNX copies of trained networks."""
