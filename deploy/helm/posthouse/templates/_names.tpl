{{/* The name that everything of a release begins with. */}}
{{- define "posthouse.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of one component: (dict "root" $ "component" "intake"). Never changes in a release. */}}
{{- define "posthouse.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "posthouse.labels" -}}
{{ include "posthouse.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: posthouse
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* metadata of a component's object: (dict "root" $ "component" "intake"), with "suffix" if its name differs. */}}
{{- define "posthouse.metadata" -}}
name: {{ include "posthouse.fullname" .root }}-{{ .suffix | default .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "posthouse.labels" . | nindent 2 }}
{{- end -}}

{{/* The image of one of our programs: (dict "root" $ "program" "posthouse-intake" "image" <the stage's own>). */}}
{{- define "posthouse.image" -}}
{{- $common := .root.Values.image -}}
{{- $own := .image | default dict -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $common.repository) .program -}}
{{- $digest := $own.digest | default "" -}}
{{- if $digest -}}
{{- printf "%s@%s" $name $digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($own.tag | default $common.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The environment's prefix of a service's keys. */}}
{{- define "posthouse.prefix" -}}
POSTHOUSE_{{ upper . }}_
{{- end -}}
