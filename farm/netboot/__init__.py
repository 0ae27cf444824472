"""Network boot: DHCP and TFTP, boot scripts, HTTP files, and what a node is told."""
