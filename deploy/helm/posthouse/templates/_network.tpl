{{/* Name servers. */}}
{{- define "posthouse.egress.dns" -}}
- to:
    {{- toYaml .root.Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{- define "posthouse.egress.nats" -}}
- to:
    {{- if eq .root.Values.nats.mode "bundled" }}
    - podSelector:
        matchLabels:
          {{- include "posthouse.selector" (dict "root" .root "component" "nats") | nindent 10 }}
    {{- else }}
    {{- toYaml .root.Values.networkPolicy.nats | nindent 4 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: {{ .root.Values.nats.port }}}
{{- end -}}

{{- define "posthouse.egress.database" -}}
- to:
    {{- if eq .root.Values.database.mode "bundled" }}
    - podSelector:
        matchLabels:
          {{- include "posthouse.selector" (dict "root" .root "component" "postgres") | nindent 10 }}
    {{- else }}
    {{- toYaml .root.Values.networkPolicy.database | nindent 4 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: {{ .root.Values.database.port }}}
{{- end -}}

{{/* The world without what is not the world: neighbours, nodes, and the cloud's own addresses. */}}
{{- define "posthouse.egress.world" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          {{- toYaml .root.Values.networkPolicy.notTheWorld.ipv4 | nindent 10 }}
    - ipBlock:
        cidr: ::/0
        except:
          {{- toYaml .root.Values.networkPolicy.notTheWorld.ipv6 | nindent 10 }}
  {{- with .ports }}
  ports:
    {{- range . }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* What a stage may reach. docs/security.md has the same as a table. */}}
{{- define "posthouse.egress" -}}
{{- $context := . -}}
{{ include "posthouse.egress.dns" . }}
{{ include "posthouse.egress.nats" . }}
{{- if .facts.database }}
{{ include "posthouse.egress.database" . }}
{{- end }}
{{- if and (eq .component "sender") .root.Values.networkPolicy.internet }}
{{ include "posthouse.egress.world" (merge (dict "ports" (list 25 465 587 443)) $context) }}
{{- end }}
{{- if and (eq .component "sender") .stage.internalRoute }}
- to:
    - podSelector:
        matchLabels:
          {{- include "posthouse.selector" (dict "root" .root "component" "intake") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 2525}
{{- end }}
{{- if and (eq .component "webhooks") .root.Values.networkPolicy.internet }}
{{ include "posthouse.egress.world" $context }}
{{- end }}
{{- with .root.Values.tracing }}
{{- if .endpoint }}
- to:
    {{- toYaml .peers | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end }}
{{- end }}
{{- with .stage.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Who may reach it. Probes come from the node, which no policy stops. */}}
{{- define "posthouse.ingress" -}}
- from:
    {{- toYaml .root.Values.networkPolicy.monitoring | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ include "posthouse.adminPort" .root }}}
{{- if .facts.ports }}
- ports:
    {{- range $port, $number := .facts.ports }}
    - {protocol: TCP, port: {{ $number }}}
    {{- end }}
  {{- with .stage.networkPolicy.from }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .stage.networkPolicy.extraIngress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
