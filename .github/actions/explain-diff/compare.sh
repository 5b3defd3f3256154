#!/usr/bin/env bash
# Explain $VIDEOS with $MODEL, and compare with the folder $BASELINE of the commit $BASE. The exit code
# is that of `staa explain`, or else that of `staa diff`.
set -euo pipefail

refuse() {
    echo "error: $1" >&2
    exit 3
}

# Options, one per line: its name, a blank, and its value as it is.
options() {
    local name value
    while read -r name value; do
        [ -z "$name" ] || printf '%s\0' "$name" ${value:+"$value"}
    done <<< "$1"
}

[ -n "$BASE" ] || refuse "no base commit: run this for pull_request, or set base"
mapfile -d '' -t explain < <(options "$EXPLAIN")
mapfile -d '' -t gates < <(options "$GATES")
[ "${#gates[@]}" -gt 0 ] || refuse "no gates, so that nothing could fail"

# A new folder outside the checkout, where a pull request could have put results of its own.
work=$(mktemp -d "$RUNNER_TEMP/staa.XXXXXX")
mkdir -p "$work/results/base"
echo "results=$work/results" >> "$GITHUB_OUTPUT"
git fetch --quiet --no-tags --depth=1 origin "$BASE" || refuse "cannot fetch the base commit $BASE"
git --literal-pathspecs archive "$(git rev-parse --verify FETCH_HEAD)" -- "$BASELINE" |
    tar -x -C "$work/results/base" || refuse "the base commit $BASE has no $BASELINE"

code=0
staa explain -r --output-dir "$work/results/explained" --model "$MODEL" "${explain[@]}" \
    -- "$VIDEOS" || code=$?
staa diff "${gates[@]}" --json --summary-md "$GITHUB_STEP_SUMMARY" --html "$work/results/diff.html" \
    -- "$work/results/base/$BASELINE" "$work/results/explained" > "$work/results/diff.json" ||
    code=$((code ? code : $?))
exit "$code"
