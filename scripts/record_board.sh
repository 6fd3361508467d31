#!/bin/sh
# Records the files of this machine that `edgezero doctor` looks at, as one text for tests/boards. Serial numbers and names are not
# among them. Usage: scripts/record_board.sh > my-board.tree
set -u
say() { printf '### %s\n' "${1#/}"; }
whole() {
	for file in "$@"; do
		[ -r "$file" ] && [ -f "$file" ] || continue
		say "$file"
		tr '\000' ' ' < "$file" 2>/dev/null | sed -e '$a\'
	done
}
whole /proc/device-tree/model /proc/device-tree/compatible /etc/nv_tegra_release /etc/os-release /proc/sys/kernel/osrelease \
	/proc/meminfo /proc/swaps /proc/mounts /etc/nvpmodel.conf /var/lib/nvpmodel/status \
	/sys/devices/system/cpu/present /sys/devices/system/cpu/online /sys/devices/system/cpu/cpu0/cpufreq/scaling_* \
	/sys/class/devfreq/*/device/of_node/name /sys/class/devfreq/*/device/load /sys/class/devfreq/*/cur_freq \
	/sys/devices/gpu.0/load /sys/devices/platform/gpu.0/load /sys/devices/pwm-fan/cur_pwm \
	/sys/class/thermal/*/type /sys/class/thermal/*/temp /sys/class/thermal/*/cur_state /sys/class/thermal/*/trip_point_* \
	/sys/class/hwmon/hwmon*/name /sys/class/hwmon/hwmon*/temp1_input /sys/class/hwmon/hwmon*/pwm1 /sys/class/hwmon/hwmon*/oc*_event_cnt \
	/sys/bus/i2c/devices/*/name /sys/bus/i2c/devices/*/iio:device*/*_[0-9] /sys/bus/i2c/devices/*/iio:device*/in_*_input \
	/sys/bus/i2c/devices/*/hwmon/hwmon*/in*_label /sys/bus/i2c/devices/*/hwmon/hwmon*/in*_input /sys/bus/i2c/devices/*/hwmon/hwmon*/curr*_input \
	/sys/block/*/device/type /sys/block/*/queue/rotational /proc/driver/nvidia/version /proc/driver/nvidia/gpus/*/information \
	/sys/bus/pci/devices/*/vendor /sys/bus/pci/devices/*/class /usr/local/cuda/version.txt /usr/local/cuda/version.json
if [ -L /etc/systemd/system/default.target ]; then
	say /etc/systemd/system/default.target
	readlink /etc/systemd/system/default.target
fi
if [ -r /var/lib/dpkg/status ]; then
	say /var/lib/dpkg/status
	for package in nvidia-l4t-core nvidia-jetpack; do
		dpkg-query -W -f 'Package: ${Package}\nStatus: ${Status}\nVersion: ${Version}\n\n' "$package" 2>/dev/null
	done
fi
for name in libcuda libcudart libnvrtc libcudnn libnvinfer; do
	for file in /usr/lib/*/$name.so.* /usr/lib/*/tegra/$name.so.* /usr/lib/*/nvidia/$name.so.* /usr/lib64/$name.so.* /usr/local/cuda*/targets/*/lib/$name.so.* \
		/usr/local/cuda*/lib64/$name.so.*; do
		[ -e "$file" ] && say "$file"
	done
done
[ -e /usr/src/tensorrt/bin/trtexec ] && say /usr/src/tensorrt/bin/trtexec
exit 0
