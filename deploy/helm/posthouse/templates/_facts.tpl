{{/*
What is true of each stage's program, and no operator's choice. The tests compare the seconds with the code and
the consumers with crates/contract.

drainSeconds    how long what is in hand may take once the program was told to stop. Its parts drain at the same
                time, so this is the whole of it.
preStopSeconds  how long the pod goes on as before, while load balancers forget it. Who pulls needs none.
ports           where it listens, besides the admin port.
pulls           its durable consumers and their streams, which its scaler looks at.
*/}}
{{- define "posthouse.facts" -}}
intake:
  drainSeconds: 20
  preStopSeconds: 5
  database: false
  ports: {smtp: 2525}
  optionalPorts: {submission: 2587, submissions: 2465}
  pulls: {}
scanner:
  drainSeconds: 25
  preStopSeconds: 0
  database: false
  ports: {}
  pulls: {scanner: INBOUND, submission-scanner: SUBMISSIONS}
storage:
  drainSeconds: 25
  preStopSeconds: 0
  database: true
  ports: {}
  pulls: {storage: SCANNED, ledger: OUTBOUND, reporter: REPORTED, rejudger: REJUDGED, resolver: OUTBOUND, reviewer: REVIEWS}
sender:
  drainSeconds: 25
  preStopSeconds: 0
  database: true
  ports: {}
  pulls: {router: ACCEPTED, deliverer: DUE}
webhooks:
  drainSeconds: 25
  preStopSeconds: 0
  database: true
  ports: {}
  pulls: {webhook-waker: EVENTS, webhook-caller: DUE}
gateway:
  drainSeconds: 20
  preStopSeconds: 5
  database: true
  ports: {http: 4801}
  pulls: {}
{{- end -}}

{{/* Where every program has /healthz, /readyz and /metrics. */}}
{{- define "posthouse.adminPort" -}}9090{{- end -}}

{{/*
The stages that are switched on, each as the context that the other templates take:
root, component, stage (its values), facts.
*/}}
{{- define "posthouse.stages" -}}
{{- $facts := include "posthouse.facts" . | fromYaml -}}
{{- $stages := dict -}}
{{- range $name, $stage := .Values.stages -}}
{{- if $stage.enabled -}}
{{- $own := deepCopy (index $facts $name) -}}
{{- $drain := dig "drain_timeout_secs" $own.drainSeconds ($stage.config | default dict) -}}
{{- $_ := set $own "drainSeconds" $drain -}}
{{- $ports := deepCopy $own.ports -}}
{{- if and (eq $name "intake") $stage.submission.enabled -}}
{{- $ports = merge $ports $own.optionalPorts -}}
{{- end -}}
{{- $_ := set $own "ports" $ports -}}
{{- $_ := set $stages $name $own -}}
{{- end -}}
{{- end -}}
{{- toYaml $stages -}}
{{- end -}}

{{/* One overall deadline: the pause for load balancers, the drain, and what the process needs besides. */}}
{{- define "posthouse.graceSeconds" -}}
{{- add .facts.preStopSeconds .facts.drainSeconds 15 -}}
{{- end -}}

{{/* Says "yes" if a scaler owns the number of replicas. */}}
{{- define "posthouse.isScaled" -}}
{{- if ne .stage.autoscaling.type "none" -}}yes{{- end -}}
{{- end -}}

{{/* What the schema cannot say, because it is about two values. */}}
{{- define "posthouse.check" -}}
{{- range $name, $stage := .Values.stages -}}
{{- with $stage.autoscaling -}}
{{- if gt (int .min) (int .max) -}}
{{- fail (printf "stages.%s.autoscaling: min %d is above max %d" $name (int .min) (int .max)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $sender := .Values.stages.sender -}}
{{- $pool := int $sender.egressPool.size -}}
{{- $most := ternary (int $sender.replicas) (int $sender.autoscaling.max) (eq $sender.autoscaling.type "none") -}}
{{- if and $sender.enabled (gt $most $pool) -}}
{{- fail (printf "stages.sender: up to %d senders, but egressPool.size is %d: more senders than the addresses that mail leaves from bring receivers' limits no higher; make the pool larger or the number smaller" $most $pool) -}}
{{- end -}}
{{- if and (eq .Values.nats.mode "external") (not .Values.nats.url) -}}
{{- fail "nats.mode is external: say where NATS is in nats.url" -}}
{{- end -}}
{{- if and (eq .Values.nats.mode "bundled") .Values.nats.url -}}
{{- fail "nats.url is for nats.mode external" -}}
{{- end -}}
{{- if and (eq .Values.nats.mode "bundled") (ne .Values.nats.login.method "password") -}}
{{- fail "nats.mode bundled: its users have passwords, so nats.login.method has to be password" -}}
{{- end -}}
{{- if and (eq .Values.nats.mode "bundled") (gt (int .Values.nats.replicas) (int .Values.nats.bundled.servers)) -}}
{{- fail (printf "nats.replicas: %d copies of each stream need as many servers, and nats.bundled.servers is %d" (int .Values.nats.replicas) (int .Values.nats.bundled.servers)) -}}
{{- end -}}
{{- if and .Values.stages.gateway.agentLogins.enabled (eq .Values.nats.login.method "none") -}}
{{- fail "stages.gateway.agentLogins: agents log in only where NATS asks for logins (nats.login.method)" -}}
{{- end -}}
{{- if and .Values.stages.intake.submission.enabled (not .Values.stages.intake.tls.existingSecret) -}}
{{- fail "stages.intake.submission: programs check the certificate, so stages.intake.tls.existingSecret is needed" -}}
{{- end -}}
{{- end -}}
