{{- define "demo.labels" -}}
app: {{ .Chart.Name }}
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
managed-by: {{ .Release.Service }}
{{- end -}}
