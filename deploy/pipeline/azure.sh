#!/usr/bin/env bash
# Brings a package to the function apps that deploy/azure made, one after the other. An alert puts the former package back everywhere.
# With two apps the one with the former package goes on meanwhile: both read the same queue.
#
#     azure.sh RESOURCE_GROUP PACKAGE FORMER_PACKAGE APP...
#
# STEP_SECONDS: how long each app is watched; the alerts look back for five minutes.
set -Eeuo pipefail

group=$1 package=$2 former=$3
shift 3
step_seconds=${STEP_SECONDS:-660}
touched=()

deploy() { # APP PACKAGE
    az functionapp deployment source config-zip --resource-group "$group" --name "$1" --src "$2" --output none
}

back() {
    [ "$BASH_SUBSHELL" = 0 ] || return 0 # A command within another fails twice.
    for app in "${touched[@]}"; do
        echo "$app gets the former package back" >&2
        deploy "$app" "$former" || echo "$app DID NOT GET IT: deploy $former by hand" >&2
    done
}
trap 'trap - ERR; back; exit 1' ERR INT TERM

scope=$(az group show --name "$group" --query id --output tsv)
# Only these alerts: others may be fired for another reason, such as a peer that is away.
fired() {
    az rest --method get --url "$scope/providers/Microsoft.AlertsManagement/alerts?api-version=2019-03-01&monitorCondition=Fired&timeRange=1d" \
        --query "value[?contains(properties.essentials.alertRule, '-errors') || contains(properties.essentials.alertRule, '-silence') || contains(properties.essentials.alertRule, '-set-aside-by-broker')].[id, properties.essentials.alertRule]" \
        --output tsv
}
# What was fired before the first package came is not this package's. It is fired again under another id.
before=$(fired)
[ -z "$before" ] || echo "fired already, and left out: $before" >&2
watch() {
    sleep "$step_seconds" & # In the background, so that a signal acts at once.
    wait $!
    now=$(fired)
    new=$(grep --invert-match --line-regexp --fixed-strings --regexp="$before" <<<"$now" || true)
    if [ -n "$new" ]; then
        echo "fired: $new" >&2
        return 1
    fi
}

for app in "$@"; do
    echo "$app gets the new package"
    touched+=("$app")
    deploy "$app" "$package"
    # The heartbeat of each half minute is the smoke test: without one, its own alert for silence is fired.
    watch
done
trap - ERR INT TERM
echo "all apps have the new package"
