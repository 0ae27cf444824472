"""Prebuilt images: versions that go from one farm to another, as an archive or over a web server, signed."""
