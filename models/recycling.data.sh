#!/bin/sh
# Assembles the data set of the model `recycling` from a copy of TrashNet (the folder "dataset-resized"):
#   sh models/recycling.data.sh TRASHNET OUT [FRAMES]...
# TRASHNET has cardboard/, glass/, metal/, paper/, plastic/ and trash/ with files such as cardboard1.jpg. OUT gets
# OUT/images/{train,val,test}/<class>/; it must not hold images yet. Photographs of a thing follow each other in TrashNet,
# so that blocks of ten file numbers stay together: the blocks below are val and test, all others train.
# FRAMES: folders with photographs or video frames in which there is none of these things; half of the class "nothing"
# (300 images in train, 45 in val) is cut from them, the rest is drawn. A data set (images/train, images/val) keeps its
# splits. Without FRAMES all of "nothing" is drawn.
# TRAINER=target/release/trainer names another trainer than the installed one.
set -eu
trainer=${TRAINER:-trainer}

fail() {
    echo "recycling.data.sh: $1" >&2
    exit "${2:-5}"
}

# Sets `val` and `test` to the blocks of a class: block 7 has the numbers 70 to 79.
blocks() {
    case $1 in
        cardboard) val="2 9 32 38" test="4 19 20 21 23 24 30 35" ;;
        glass) val="7 14 25 29 44" test="3 6 8 17 27 32 33 38 41 45" ;;
        metal) val="4 5 20 30 34" test="17 19 21 25 33 35 36 40" ;;
        paper) val="7 18 24 32 48 53" test="0 12 17 20 27 33 37 39 44 45 49 52" ;;
        plastic) val="5 6 13 30 38" test="1 3 7 12 20 28 29 39 40 43" ;;
        trash) val="12" test="0 3 10" ;;
    esac
}

# Prints the number in a file's name, without zeros in front.
number_of() {
    number=${1##*/}
    number=${number%.*}
    number=${number#"$2"}
    while [ "${number#0}" != "$number" ]; do number=${number#0}; done
    case $number in
        '' | *[!0-9]*) fail "$1: expected a name such as ${2}12.jpg; is this TrashNet's dataset-resized?" ;;
    esac
    echo "$number"
}

[ $# -ge 2 ] || fail "usage: recycling.data.sh TRASHNET OUT [FRAMES]..." 2
trashnet=$1
out=$2
shift 2
command -v "$trainer" > /dev/null 2>&1 || fail "cannot find $trainer: cargo install --locked --path trainer, or set TRAINER"
[ ! -e "$out/images" ] || fail "$out/images is there already: name another folder, or remove it"
for class in cardboard glass metal paper plastic trash; do
    ls "$trashnet/$class"/*.jpg > /dev/null 2>&1 || fail "$trashnet/$class: no *.jpg found; TRASHNET is the folder with the six class folders"
done
for folder in "$@"; do
    [ -d "$folder" ] || fail "$folder: no such folder"
done

for class in cardboard glass metal paper plastic trash; do
    blocks "$class"
    for split in train val test; do mkdir -p "$out/images/$split/$class"; done
    for file in "$trashnet/$class"/*.jpg; do
        number=$(number_of "$file" "$class")
        split=train
        case " $val " in *" $((number / 10)) "*) split=val ;; esac
        case " $test " in *" $((number / 10)) "*) split=test ;; esac
        cp "$file" "$out/images/$split/$class/"
    done
done

# Each folder as an option of its own.
left=$#
while [ "$left" -gt 0 ]; do
    set -- "$@" --frames "$1"
    shift
    left=$((left - 1))
done
"$trainer" data nothing --out "$out" --count 345 --val 45 --seed 0 "$@"

for split in train val test; do
    echo "$split: $(find "$out/images/$split" -type f | wc -l) images"
done
echo "With all of TrashNet: 2059 in train, 305 in val, 508 in test (without \"nothing\")."
