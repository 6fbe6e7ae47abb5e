{{- define "proxmox-lxcri.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "proxmox-lxcri.metricsName" -}}
{{ printf "%s-metrics" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
