"""The dashboard of `farm top`, made with Textual; it knows the farm only through farm.attach."""
