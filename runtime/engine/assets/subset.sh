#!/bin/sh
# Makes DejaVuSans-subset.ttf from DejaVu Sans 2.37. Needs fonttools (pip install fonttools).
# Usage: subset.sh /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
set -eu
pyftsubset "$1" --output-file="$(dirname "$0")/DejaVuSans-subset.ttf" \
    --unicodes="U+0020-007E,U+00A0-017F,U+2010-2015,U+2018-201E,U+2022,U+2026,U+2030,U+20AC,U+2122,U+2190-2193,U+2212,U+2248,U+2260,U+2264,U+2265,U+25A1,U+FFFD" \
    --no-hinting --layout-features= --notdef-outline --name-IDs=0,1,2,3,4,5,6,13,14 \
    --drop-tables+=GSUB,GPOS,GDEF,FFTM,kern,MATH,gasp
