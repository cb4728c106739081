"""Train the ControlNet that goes with the embedded model."""
