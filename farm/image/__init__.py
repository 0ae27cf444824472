"""The node image: build with KIWI, store versions, switch and roll back."""
