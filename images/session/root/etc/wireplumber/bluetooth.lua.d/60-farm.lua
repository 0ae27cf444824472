-- A thin client has no Bluetooth.
bluez_monitor.enabled = false
