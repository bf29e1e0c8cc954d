{{/* A value as TOML. Tables are written inline; numbers and strings are as in JSON, which TOML takes. */}}
{{- define "posthouse.toml" -}}
{{- $value := . -}}
{{- if kindIs "map" . -}}
{ {{ range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ end }}{{ $key | quote }} = {{ include "posthouse.toml" (index $value $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "posthouse.toml" $item }}{{ end }}]
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end -}}

{{/* Where our programs find NATS. */}}
{{- define "posthouse.natsUrl" -}}
{{- if eq .Values.nats.mode "external" -}}
{{ .Values.nats.url }}
{{- else -}}
{{ ternary "tls" "nats" (not (empty .Values.nats.bundled.tlsSecret)) }}://{{ include "posthouse.fullname" . }}-nats.{{ .Release.Namespace }}.svc:4222
{{- end -}}
{{- end -}}

{{/* The configuration of one stage as a YAML map: what the chart knows, and the stage's own `config`. */}}
{{- define "posthouse.stageConfig" -}}
{{- $root := .root -}}{{- $values := $root.Values -}}{{- $stage := .stage -}}{{- $name := .component -}}
{{- $config := dict "nats" (include "posthouse.natsUrl" $root) "admin" (printf "0.0.0.0:%s" (include "posthouse.adminPort" $root)) "log" "json" -}}
{{- $login := dict -}}
{{- if eq $values.nats.login.method "password" -}}
{{- $login = dict "user" $values.nats.login.user "password_file" "/etc/posthouse/nats/password" -}}
{{- else if eq $values.nats.login.method "nkey" -}}
{{- $login = dict "nkey_file" "/etc/posthouse/nats/nkey" -}}
{{- else if eq $values.nats.login.method "creds" -}}
{{- $login = dict "creds_file" "/etc/posthouse/nats/creds" -}}
{{- end -}}
{{- if $values.nats.caSecret.name -}}{{- $_ := set $login "ca_file" "/etc/posthouse/nats-ca/ca.crt" -}}{{- end -}}
{{- if $login -}}{{- $_ := set $config "nats_login" $login -}}{{- end -}}
{{- if has $name (list "intake" "scanner" "sender") -}}{{- $_ := set $config "hostname" $values.hostname -}}{{- end -}}
{{- if has $name (list "intake" "storage" "gateway") -}}{{- $_ := set $config "domains" $values.domains -}}{{- end -}}
{{- if and $values.publicUrl (has $name (list "storage" "gateway")) -}}{{- $_ := set $config "public_url" $values.publicUrl -}}{{- end -}}
{{- if and $values.domainKeys.existingSecret (has $name (list "sender" "gateway")) -}}
{{- $_ := set $config "domain_keys_file" "/etc/posthouse/domain-keys/key" -}}
{{- end -}}
{{- include (printf "posthouse.stageConfig.%s" $name) (merge (dict "config" $config) .) -}}
{{- range $key, $value := $stage.config -}}{{- $_ := set $config $key $value -}}{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "posthouse.stageConfig.intake" -}}
{{- $_ := set .config "listen" (printf "0.0.0.0:%d" (int .facts.ports.smtp)) -}}
{{- if .stage.tls.existingSecret -}}
{{- $_ := set .config "tls_certificate" "/etc/posthouse/tls/tls.crt" -}}
{{- $_ := set .config "tls_key" "/etc/posthouse/tls/tls.key" -}}
{{- end -}}
{{- if .stage.submission.enabled -}}
{{- $_ := set .config "submission" (printf "0.0.0.0:%d" (int .facts.ports.submission)) -}}
{{- $_ := set .config "submissions" (printf "0.0.0.0:%d" (int .facts.ports.submissions)) -}}
{{- end -}}
{{- end -}}

{{- define "posthouse.stageConfig.scanner" -}}{{- end -}}
{{- define "posthouse.stageConfig.storage" -}}{{- end -}}
{{- define "posthouse.stageConfig.webhooks" -}}{{- end -}}

{{/* Mail between our own inboxes goes straight to intake, by its Service, instead of round the world. */}}
{{- define "posthouse.stageConfig.sender" -}}
{{- $routes := .stage.config.routes | default list -}}
{{- if and .stage.internalRoute .root.Values.stages.intake.enabled -}}
{{- $host := printf "%s-intake.%s.svc" (include "posthouse.fullname" .root) .root.Release.Namespace -}}
{{- $routes = prepend $routes (dict "domains" .root.Values.domains "via" "smarthost" "host" $host "port" 25) -}}
{{- end -}}
{{- $_ := set .stage "config" (omit (.stage.config | default dict) "routes") -}}
{{- if $routes -}}{{- $_ := set .config "routes" $routes -}}{{- end -}}
{{- if .stage.shaping -}}{{- $_ := set .config "shaping_file" "/etc/posthouse/config/shaping.toml" -}}{{- end -}}
{{- $keys := list -}}
{{- range $i, $key := .stage.dkim -}}
{{- $keys = append $keys (dict "domain" $key.domain "selector" $key.selector "algorithm" $key.algorithm "private_key_file" (printf "/etc/posthouse/dkim/%d/%s" $i $key.key)) -}}
{{- end -}}
{{- if $keys -}}{{- $_ := set .config "dkim" $keys -}}{{- end -}}
{{- end -}}

{{- define "posthouse.stageConfig.gateway" -}}
{{- $_ := set .config "listen" (printf "0.0.0.0:%d" (int .facts.ports.http)) -}}
{{- if .stage.agentLogins.enabled -}}
{{- $_ := set .config "agent_logins" (merge (dict "issuer_file" "/etc/posthouse/nats-logins/issuer" "password_file" "/etc/posthouse/nats-logins/logins-password") (.stage.agentLogins.settings | default dict)) -}}
{{- end -}}
{{- end -}}

{{/* The stage's file. */}}
{{- define "posthouse.configFile" -}}
{{- $config := include "posthouse.stageConfig" . | fromYaml -}}
{{- range $key := keys $config | sortAlpha }}
{{ $key }} = {{ include "posthouse.toml" (index $config $key) }}
{{- end }}
{{- end -}}
