"""icecream: its protocol, its monitor and control connections."""
