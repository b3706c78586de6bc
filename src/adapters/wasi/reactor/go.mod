module countersign.dev/reactor

go 1.26.0
