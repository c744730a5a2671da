"""The folder of a training: model card, record, limits, bundle, tuning study."""
