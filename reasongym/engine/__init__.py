"""The compiled engine: one state machine over struct-of-arrays for one environment, a vector, and every adapter."""
