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

{{/* What the service tells the people of a namespace it does in its own name, whoever it writes as. */}}
{{- define "countersign.telling" -}}
{{- if .Values.rbac.events }}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [get, create, patch]}
{{- end }}
{{- if .Values.rbac.reports }}
- {apiGroups: [openreports.io, wgpolicyk8s.io], resources: [reports, policyreports], verbs: [get, list, create, patch, delete]}
{{- end }}
{{- end }}
