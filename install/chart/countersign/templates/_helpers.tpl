{{- define "countersign.labels" -}}
app.kubernetes.io/name: countersign
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "countersign.selector" -}}
app.kubernetes.io/name: countersign
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "countersign.inCluster" -}}
{{- $found := "" -}}
{{- range .Values.config.targets }}{{ if eq .kubeconfig "in-cluster" }}{{ $found = "true" }}{{ end }}{{ end -}}
{{- range .Values.config.gates }}{{ if and .status (eq .status.kubeconfig "in-cluster") }}{{ $found = "true" }}{{ end }}{{ end -}}
{{- $found -}}
{{- end }}
