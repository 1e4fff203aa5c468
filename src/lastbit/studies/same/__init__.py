"""Is a changed training the same training as before, up to rounding?"""
