#!/usr/bin/env bash
# Brings a package to a Lambda function that deploy/aws made: a new version gets a part of the batches, then all of them. An alarm takes
# it back. Workers of two versions may run side by side: both apply the same rule.
#
#     aws.sh FUNCTION PACKAGE ALARM_PREFIX
#
# STEPS: shares of the new version, in turn. STEP_SECONDS: how long each is watched; the alarms look back for five minutes.
# FORMER_FILE: where the old version is written down, for a job that is stopped hard.
set -Eeuo pipefail

function=$1 package=$2 alarms=$3
steps=${STEPS:-"0.1 0.5"}
step_seconds=${STEP_SECONDS:-360}

alias_to() { # VERSION [SHARES]
    aws lambda update-alias --function-name "$function" --name live --function-version "$1" \
        --routing-config "AdditionalVersionWeights={${2:-}}" >/dev/null
}

# Only these alarms: others may ring for another reason, such as a peer that is away.
watched=("$alarms-errors" "$alarms-throttles" "$alarms-silence" "$alarms-set-aside-by-broker")
known=$(aws cloudwatch describe-alarms --alarm-names "${watched[@]}" --query 'length(MetricAlarms)' --output text)
if [ "$known" != "${#watched[@]}" ]; then
    echo "only $known of these alarms exist: ${watched[*]}. Is ALARM_PREFIX the site's name?" >&2
    exit 1
fi
ringing() {
    aws cloudwatch describe-alarms --alarm-names "${watched[@]}" --state-value ALARM --query 'MetricAlarms[].AlarmName' --output text
}
before=$(ringing)
if [ -n "$before" ]; then
    echo "rings already: $before. Mend that first: it would hide a fault of the new version. If that version is the cure: docs/upgrade.md, by hand" >&2
    exit 1
fi

old=$(aws lambda get-alias --function-name "$function" --name live --query FunctionVersion --output text)
back() {
    [ "$BASH_SUBSHELL" = 0 ] || return 0 # A command within another fails twice.
    echo "back to version $old" >&2
    alias_to "$old" || echo "IT DID NOT GO BACK. By hand: aws lambda update-alias --function-name $function --name live" \
        "--function-version $old --routing-config 'AdditionalVersionWeights={}'" >&2
}
trap 'trap - ERR; back; exit 1' ERR INT TERM
echo "$old" >"${FORMER_FILE:-/dev/null}"

new=$(aws lambda update-function-code --function-name "$function" --zip-file "fileb://$package" --publish --query Version --output text)
aws lambda wait function-active-v2 --function-name "$function" --qualifier "$new"
if [ "$new" = "$old" ]; then
    echo "version $old has this package already"
    exit 0
fi

# The share of a new version may be too small for the alarms, so its own errors count, too.
errors() { # SINCE
    aws cloudwatch get-metric-statistics --namespace AWS/Lambda --metric-name Errors --statistics Sum --period 60 \
        --dimensions "Name=FunctionName,Value=$function" "Name=Resource,Value=$function:live" "Name=ExecutedVersion,Value=$new" \
        --start-time "$1" --end-time "$(date -u +%FT%TZ)" --query 'sum(Datapoints[].Sum)' --output text
}
watch() {
    since=$(date -u +%FT%TZ)
    sleep "$step_seconds" & # In the background, so that a signal acts at once.
    wait $!
    rings=$(ringing)
    failed=$(errors "$since")
    if [ -n "$rings" ] || [ "${failed%.*}" != 0 ]; then
        echo "rings: ${rings:-nothing}. Failed invocations of version $new: $failed" >&2
        return 1
    fi
}

# Smoke: the new version sends a heartbeat, so its configuration, its identity and its queue are right before it gets an event.
answer=$(mktemp)
fault=$(aws lambda invoke --function-name "$function" --qualifier "$new" --cli-binary-format raw-in-base64-out \
    --payload '{"bridge":"heartbeat"}' --query FunctionError --output text "$answer")
if [ "$fault" != None ]; then
    cat "$answer" >&2
    echo "version $new sends no heartbeat: $fault. Version $old goes on" >&2
    exit 1
fi

for share in $steps; do
    echo "version $new gets $share of the batches"
    alias_to "$old" "$new=$share"
    watch
done
echo "version $new gets all batches"
alias_to "$new"
watch
trap - ERR INT TERM
echo "version $new stays"
