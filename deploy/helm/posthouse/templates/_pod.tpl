{{/* Security contexts: everything of ours runs as nobody in particular, and writes to /tmp alone. */}}
{{- define "posthouse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "posthouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods go: the stage's own wishes before those for all. */}}
{{- define "posthouse.placement" -}}
{{- $common := .root.Values.pods -}}
{{- with .stage.nodeSelector | default $common.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .stage.tolerations | default $common.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .stage.affinity | default $common.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .stage.priorityClassName | default $common.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spread over zones and machines, but start anywhere sooner than not at all. */}}
{{- define "posthouse.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "posthouse.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* Secrets as files, from whoever made them: the chart makes none. */}}
{{- define "posthouse.secretVolumes" -}}
{{- $values := .root.Values -}}
{{- $volumes := list -}}
{{- $method := $values.nats.login.method -}}
{{- if ne $method "none" -}}
{{- $volumes = append $volumes (dict "name" "nats" "secret" $values.nats.login.existingSecret "items" (list (dict "key" (index $values.nats.login.keys $method) "path" $method)) "path" "/etc/posthouse/nats") -}}
{{- end -}}
{{- if $values.nats.caSecret.name -}}
{{- $volumes = append $volumes (dict "name" "nats-ca" "secret" $values.nats.caSecret.name "items" (list (dict "key" $values.nats.caSecret.key "path" "ca.crt")) "path" "/etc/posthouse/nats-ca") -}}
{{- end -}}
{{- if and $values.domainKeys.existingSecret (has .component (list "sender" "gateway")) -}}
{{- $volumes = append $volumes (dict "name" "domain-keys" "secret" $values.domainKeys.existingSecret "items" (list (dict "key" $values.domainKeys.key "path" "key")) "path" "/etc/posthouse/domain-keys") -}}
{{- end -}}
{{- if and (eq .component "intake") .stage.tls.existingSecret -}}
{{- $volumes = append $volumes (dict "name" "tls" "secret" .stage.tls.existingSecret "path" "/etc/posthouse/tls") -}}
{{- end -}}
{{- if and (eq .component "gateway") .stage.agentLogins.enabled -}}
{{- $keys := $values.nats.login.keys -}}
{{- $volumes = append $volumes (dict "name" "nats-logins" "secret" .stage.agentLogins.existingSecret "items" (list (dict "key" $keys.issuer "path" "issuer") (dict "key" $keys.loginsPassword "path" "logins-password")) "path" "/etc/posthouse/nats-logins") -}}
{{- end -}}
{{- if eq .component "sender" -}}
{{- range $i, $key := .stage.dkim -}}
{{- $volumes = append $volumes (dict "name" (printf "dkim-%d" $i) "secret" $key.existingSecret "items" (list (dict "key" $key.key "path" $key.key)) "path" (printf "/etc/posthouse/dkim/%d" $i)) -}}
{{- end -}}
{{- end -}}
{{- range $i, $mount := (.stage.secretMounts | default list) -}}
{{- $volumes = append $volumes (dict "name" (printf "secret-%d" $i) "secret" $mount.secret "path" $mount.path) -}}
{{- end -}}
{{- toYaml $volumes -}}
{{- end -}}
