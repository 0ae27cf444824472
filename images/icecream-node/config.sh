#!/bin/bash
# Runs after the common config.sh: takes out what a machine that only compiles does without, as nobody sits at it.
set -eu

modules=$(echo /lib/modules/*)
rm -rf "$modules/kernel/sound" \
       "$modules"/kernel/drivers/{ata,base,cdrom,dma,extcon,gpio,gpu,leds,media,misc,mmc/host,parport,pinctrl,scsi,soundwire,tty,video} \
       "$modules"/kernel/drivers/usb/{serial,typec} \
       "$modules"/kernel/drivers/input/{tablet,touchscreen} \
       "$modules/kernel/drivers/char/agp" \
       "$modules"/kernel/fs/{exfat,ext4,fat,isofs,jbd2,mbcache.ko,udf}
rm -rf /usr/share/icons
