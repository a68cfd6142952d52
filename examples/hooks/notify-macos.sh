#!/bin/sh
# Shows a macOS notification for each event that wants a person. In the config:
#
#     on_event = ["hooks/notify-macos.sh", "{event}"]
#
# The program's path starts at the config file's directory.
set -eu

case $1 in
unhealthy | restart-failing | port-conflict | sync-failed | recovered) ;;
*) exit 0 ;;
esac

# The details hold text from the worker. They stay data all the way: osascript reads them from standard input and parses
# them as JSON; nothing of them is pasted into a command line or a script.
exec osascript -l JavaScript -e '
ObjC.import("Foundation")
function run() {
    const bytes = $.NSFileHandle.fileHandleWithStandardInput.readDataToEndOfFile
    const text = $.NSString.alloc.initWithDataEncoding(bytes, $.NSUTF8StringEncoding).js
    const details = JSON.parse(text)
    const app = Application.currentApplication()
    app.includeStandardAdditions = true
    app.displayNotification(details.message, { withTitle: details.status.name + ": " + details.event })
}'
