#!/bin/sh
# Shows the main job with the shipped model: `demo.sh COMET_EDGE FRAMES`. One line of text a frame, images with the
# attribution map drawn in, a contact sheet of them, and, on a terminal, the live page until Ctrl-C.
set -eu
program=$1
frames=$2
images=calib/recycling/images
out=target/demo
mkdir -p "$out"

# Predicts FRAMES frames of a source.
show() {
    "$program" run "$@" --frames "$frames" --text --overlay "$out" --contact-sheet "$out/contact-sheet.png"
}

# Serves the live page until Ctrl-C; its address is printed when it is there. Port 0 is any free one.
serve() {
    echo
    echo "The live page: open the address below in a browser; Ctrl-C ends it."
    # The program ends in order after Ctrl-C; this script goes on behind it.
    trap : INT
    "$program" run "$@" --http 127.0.0.1:0 > /dev/null
}

if ls /dev/video* > /dev/null 2>&1 && show --camera 0; then
    source=camera
else
    source=frames
    echo "No camera to use: showing the shipped frames instead."
    # From all over the set, so that other classes are seen, too.
    total=$(find "$images" -type f -name '*.png' | wc -l)
    every=1
    if [ "$frames" -gt 0 ] && [ "$total" -gt "$frames" ]; then
        every=$((total / frames))
    fi
    show --source "$images" --every "$every"
fi
echo
echo "Images with the map drawn in: $out"
echo "All of them on one sheet:     $out/contact-sheet.png"

if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then
    if [ "$source" = camera ]; then
        serve --camera 0
    else
        serve --source "$images" --loop --max-fps 2
    fi
else
    echo "On a terminal the live page would follow: $program run --source $images --loop --max-fps 2 --http"
fi
if [ "$source" != camera ]; then
    echo "With a camera: $program run --camera 0 --http"
fi
