{{/* Names and labels: in one file, for a name is what objects find each other by. */}}

{{- define "llm-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 50 characters leave room for the name of a gateway and for what controllers append. */}}
{{- define "llm-gateway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "llm-gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: llm-gateway
{{ include "llm-gateway.instanceLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* By these a pod is found: they never change in a release. */}}
{{- define "llm-gateway.instanceLabels" -}}
app.kubernetes.io/name: {{ include "llm-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "llm-gateway.operator.selector" -}}
{{ include "llm-gateway.instanceLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "llm-gateway.operator.serviceAccount" -}}
{{- default .Values.operator.fullnameOverride .Values.operator.serviceAccount.name }}
{{- end }}

{{/* Something, when the API server has anything to ask of the operator. */}}
{{- define "llm-gateway.operator.webhook" -}}
{{- if or .Values.sidecars.enabled .Values.admission.enabled }}yes{{ end }}
{{- end }}

{{/*
One gateway: the values of all gateways with its own on top. Of `root` and `name`; give the result to `fromYaml`.
*/}}
{{- define "llm-gateway.gateway" -}}
{{- $own := get .root.Values.gateways .name | default dict }}
{{- $gateway := mergeOverwrite (deepCopy .root.Values.gateway) $own }}
{{- if and $gateway.tls.only (not $gateway.tls.secretName) }}
{{- fail (printf "gateway %s: tls.only needs tls.secretName, a Secret with the certificate to serve by" .name) }}
{{- end }}
{{- $gateway | toYaml }}
{{- end }}

{{/* Where applications call a gateway. Of `root` and `name`. */}}
{{- define "llm-gateway.gateway.url" -}}
{{- $gateway := include "llm-gateway.gateway" . | fromYaml }}
{{- $host := printf "%s.%s.svc" (include "llm-gateway.gateway.fullname" .) .root.Release.Namespace }}
{{- if $gateway.tls.only }}
{{- printf "https://%s%s" $host (eq (int $gateway.service.tlsPort) 443 | ternary "" (printf ":%d" (int $gateway.service.tlsPort))) }}
{{- else }}
{{- printf "http://%s%s" $host (eq (int $gateway.service.port) 80 | ternary "" (printf ":%d" (int $gateway.service.port))) }}
{{- end }}
{{- end }}

{{/* Gateway `default` has the name of the release, so that the plain start has plain names. Of `root` and `name`. */}}
{{- define "llm-gateway.gateway.fullname" -}}
{{- if eq .name "default" }}
{{- include "llm-gateway.fullname" .root }}
{{- else }}
{{- printf "%s-%s" (include "llm-gateway.fullname" .root) .name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "llm-gateway.gateway.selector" -}}
{{ include "llm-gateway.instanceLabels" .root }}
app.kubernetes.io/component: gateway
llmgateway.dev/gateway: {{ .name | quote }}
{{- end }}

{{- define "llm-gateway.gateway.serviceAccount" -}}
{{- $gateway := include "llm-gateway.gateway" . | fromYaml }}
{{- default (include "llm-gateway.gateway.fullname" .) $gateway.serviceAccount.name }}
{{- end }}

{{/* The operator's file of gateways: who runs each, and who may call there. */}}
{{- define "llm-gateway.operator.gateways" -}}
gateways:
{{- range $name, $_ := .Values.gateways }}
{{- $which := dict "root" $ "name" $name }}
{{- $callers := (include "llm-gateway.gateway" $which | fromYaml).callers }}
- name: {{ $name | quote }}
  serviceAccount: {namespace: {{ $.Release.Namespace }}, name: {{ include "llm-gateway.gateway.serviceAccount" $which }}}
  callers:
    serviceAccountTokens: {{ $callers.serviceAccountTokens }}
    anonymous: {{ $callers.anonymous }}
    {{- with $callers.keySecrets }}
    keys:
    {{- range . }}
    - secretRef: {namespace: {{ $.Release.Namespace }}, name: {{ . }}}
    {{- end }}
    {{- end }}
    {{- with $callers.certificates }}
    certificates:
    {{- range . }}
    - {{ hasKey . "configMap" | ternary "configMapRef" "secretRef" }}: {namespace: {{ $.Release.Namespace }}, name: {{ default .secret .configMap }}, key: {{ default "ca.crt" .key | quote }}}
      {{- with .trustDomain }}
      trustDomain: {{ . | quote }}
      {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "llm-gateway.redis.fullname" -}}
{{- printf "%s-redis" (include "llm-gateway.fullname" .) }}
{{- end }}

{{- define "llm-gateway.redis.selector" -}}
{{ include "llm-gateway.instanceLabels" . }}
app.kubernetes.io/component: redis
{{- end }}

{{/* The entry of a Secret that holds the password of the release's own Redis, as YAML. */}}
{{- define "llm-gateway.redis.password" -}}
{{- with (.Values.redis).passwordSecret }}
{{- dict "name" (default (include "llm-gateway.redis.fullname" $) .name) "key" (empty .name | ternary "password" .key) | toYaml }}
{{- end }}
{{- end }}

{{/* The ledger's settings: those of the Redis outside, or of the release's own, in the form of `ledger.redis`. As YAML. */}}
{{- define "llm-gateway.ledger" -}}
{{- $outside := .Values.ledger.redis }}
{{- if (.Values.redis).enabled }}
{{- if not .Values.redis.image }}
{{- fail "redis: its other values are not there, as with --reuse-values from a chart that had none: take --reset-then-reuse-values" }}
{{- end }}
{{- if $outside.endpoints }}
{{- fail "redis.enabled and ledger.redis.endpoints: there is one ledger. Take the first away, which is for trials, or the second" }}
{{- end }}
{{- if hasKey .Values.gateways "redis" }}
{{- fail "redis.enabled: gateway `redis` has the name of that Service: give it another" }}
{{- end }}
{{- $host := printf "%s.%s.svc" (include "llm-gateway.redis.fullname" .) .Release.Namespace }}
{{- $own := dict "endpoints" (list (printf "%s:6379" $host)) "passwordSecret" (include "llm-gateway.redis.password" . | fromYaml) }}
{{- dict "mode" "Single" "database" 0 "tls" (dict "enabled" false) "sentinel" (dict "passwordSecret" dict) | merge $own | toYaml }}
{{- else }}
{{- $outside | toYaml }}
{{- end }}
{{- end }}

{{/*
The Secrets by which the operator signs in to the ledger, as the sources of a volume; nothing where there are none.
*/}}
{{- define "llm-gateway.ledger.secrets" -}}
{{- with include "llm-gateway.ledger" . | fromYaml }}
{{- if .endpoints }}
{{- with .passwordSecret }}
{{- if .name }}
- secret: {name: {{ .name }}, items: [{key: {{ .key | quote }}, path: password}]}
{{- end }}
{{- end }}
{{- if and .tls.enabled .tls.caSecret }}
- secret: {name: {{ .tls.caSecret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- with .sentinel.passwordSecret }}
{{- if .name }}
- secret: {name: {{ .name }}, items: [{key: {{ .key | quote }}, path: sentinel-password}]}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "llm-gateway.secret" -}}
{{- printf "%s-providers" (include "llm-gateway.fullname" .) }}
{{- end }}

{{/* The Secret of a provider's key, as YAML; of none, nothing. Of `root` and `name`. */}}
{{- define "llm-gateway.provider.secret" -}}
{{- $existing := get .root.Values.secrets.existing .name | default dict }}
{{- $key := printf "%sApiKey" .name }}
{{- if $existing.name }}
{{- pick $existing "name" "key" | toYaml }}
{{- else if get .root.Values.secrets $key }}
{{- dict "name" (include "llm-gateway.secret" .root) "key" $key | toYaml }}
{{- end }}
{{- end }}

{{/* Something, when the provider is asked for. Of `root` and `name`. */}}
{{- define "llm-gateway.provider.enabled" -}}
{{- if eq .name "simulated" }}
{{- ternary "yes" "" .root.Values.providers.simulated.enabled }}
{{- else }}
{{- include "llm-gateway.provider.secret" . }}
{{- end }}
{{- end }}

{{/* A model of each provider that costs little: of these `helm test` and the notes speak. As YAML. */}}
{{- define "llm-gateway.provider.models" -}}
openai: gpt-6-luna
anthropic: claude-haiku-5-5
gemini: gemini-3.1-flash-lite
simulated: demo
{{- end }}
