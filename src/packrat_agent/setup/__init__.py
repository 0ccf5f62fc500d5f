"""Sets up a mirror, step by step, for `init`; and looks at everything that can be wrong with it, for `doctor`."""
