#!/bin/sh
# `page.sh COMET_EDGE MODEL`: opens the live page in Chromium and uses it. Images of it go to target/page.
# It needs Chromium and Playwright; what is missing is installed, Playwright into target/page/python.
set -eu
program=$1
model=$2
folder=target/page
if ! command -v chromium >/dev/null 2>&1 && ! command -v chromium-browser >/dev/null 2>&1; then
    needed="chromium"
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || needed="${needed:-} python3-venv"
if [ -n "${needed:-}" ]; then
    if [ "$(id -u)" = 0 ]; then run=""; elif command -v sudo >/dev/null 2>&1; then run="sudo"; else run="none"; fi
    if [ "$run" = none ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "The test of the page needs: $needed (Debian, Ubuntu: apt-get install $needed)" >&2
        exit 1
    fi
    echo "installing: $needed"
    # shellcheck disable=SC2086
    $run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends $needed
fi
mkdir -p $folder
if [ ! -x $folder/python/bin/python ] || ! $folder/python/bin/python -c 'import playwright' 2>/dev/null; then
    python3 -m venv $folder/python
    $folder/python/bin/pip install --quiet playwright
fi
browser=$(command -v chromium || command -v chromium-browser)
exec $folder/python/bin/python tests/page/check_page.py --program "$program" --model "$model" --browser "$browser" --out $folder
