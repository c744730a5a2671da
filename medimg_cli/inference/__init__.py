"""A trained model in use, without torch: it answers from the ONNX copies that training leaves beside the weights."""
