"""A room of PCs that boot, played at the level of protocols by one process in a network namespace.

Each node asks for its address from a MAC of its own, fetches what a PC fetches, by TFTP and HTTP, and reads its root
over AoE or NBD. Every byte that comes is compared with the file that it is to be.
"""
