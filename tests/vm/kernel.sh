#!/bin/sh
# Fetches what a virtual board boots with, once: `kernel.sh FOLDER`. That is Debian's arm64 kernel with its media
# drivers, and busybox; about 70 MB. Nothing is installed.
set -eu
folder=$1
[ -e "$folder/complete" ] && exit 0
if ! dpkg --print-foreign-architectures | grep -qx arm64 && [ "$(dpkg --print-architecture)" != arm64 ]; then
    echo "needed: sudo dpkg --add-architecture arm64 && sudo apt-get update"
    exit 1
fi
# The package linux-image-arm64 is empty and depends on the present kernel.
package=$(apt-cache depends linux-image-arm64:arm64 |
    sed -n 's/.*Depends: \(linux-image-[0-9][^: ]*\).*/\1/p' | head -n 1)
if [ -z "$package" ]; then
    echo "apt knows no kernel behind linux-image-arm64:arm64; try: sudo apt-get update"
    exit 1
fi
release=${package#linux-image-}
rm -rf "$folder"
mkdir -p "$folder/packages"
# Where this runs as root, apt downloads as a user of its own.
chmod 777 "$folder/packages"
echo "fetching $package and busybox into $folder"
(cd "$folder/packages" && apt-get download -qq "$package:arm64" busybox-static:arm64)
dpkg-deb --fsys-tarfile "$folder"/packages/linux-image-*.deb |
    tar -x -C "$folder" "./boot/vmlinuz-$release" "./lib/modules/$release/kernel/drivers/media"
mv "$folder/boot/vmlinuz-$release" "$folder/vmlinuz"
dpkg-deb --fsys-tarfile "$folder"/packages/busybox-static*.deb | tar -x -C "$folder" ./bin/busybox
rm -r "$folder/packages"
touch "$folder/complete"
