#!/bin/sh
# Posts the details of each event that wants a person to a webhook, as JSON. In the config:
#
#     on_event = ["hooks/webhook.sh", "{event}"]
#
# The program's path starts at the config file's directory. Beside this script lies webhook.curl with the address, which
# is often a secret and would be seen in an argument; mode 0600:
#
#     url = "https://hooks.example.com/T0000/B0000"
set -eu

case $1 in
unhealthy | restart-failing | port-conflict | sync-failed | recovered) ;;
*) exit 0 ;;
esac

# A hook may take ten seconds. The first option keeps ~/.curlrc out of it.
exec curl --disable --config "${0%/*}/webhook.curl" --silent --fail --max-time 8 --output /dev/null \
    --header 'Content-Type: application/json' --data-binary @-
