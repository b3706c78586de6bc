module countersign.dev/tlog-check

go 1.24

require golang.org/x/mod v0.27.0
