"""Methods before their pretraining: properties, encoders, sizes and cost."""
