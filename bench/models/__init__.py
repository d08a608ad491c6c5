"""Methods without a pretraining: their properties, encoders, sizes and cost."""
