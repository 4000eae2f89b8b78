/** A server without settings: `{}`. */
type NoSettings = Record<never, never>

/**
 * The servers of Docker's MCP catalogue (https://hub.docker.com/mcp) that the gateway can start, with the settings of each.
 * Names are those that the gateway reads.
 */
export interface McpServers {
  airtable?: { airtableApiKey: string; nodeenv: string }
  aks?: { accessLevel: string; additionalTools?: string; allowNamespaces?: string; azureDir: string; containerUser?: string; kubeconfig: string }
  alfresco?: { alfrescoHost: string }
  amazonBedrockAgentcore?: NoSettings
  amazonKendraIndex?: { awsProfile?: string; awsRegion?: string; kendraIndexId: string }
  amazonNeptune?: { awsProfile?: string; awsRegion?: string; neptuneEndpoint: string }
  amazonQbusinessAnonymous?: { awsAccessKeyId?: string; awsProfile?: string; awsRegion?: string; awsSecretAccessKey?: string; awsSessionToken?: string; qbusinessApplicationId: string }
  apiGateway?: { api1HeaderAuthorization: string; api1Name: string; api1SwaggerUrl: string }
  apify?: { apifyToken: string; tools: string }
  arm?: { sshKnownHostsPath?: string; sshPrivateKeyPath?: string; workspacePath: string }
  arxiv?: { storagePath: string }
  astGrep?: { path: string }
  astraDb?: { astraDbApplicationToken: string; endpoint: string }
  astroDocs?: NoSettings
  atlan?: { apiKey: string; baseUrl: string }
  atlasDocs?: { apiUrl: string }
  atlassian?: { confluenceApiToken?: string; confluencePersonalToken?: string; confluenceUrl: string; confluenceUsername?: string; jiraApiToken?: string; jiraPersonalToken?: string; jiraUrl: string; jiraUsername?: string }
  audienseInsights?: { audienseClientSecret?: string; clientId: string; twitterBearerToken?: string }
  awsApi?: { awsAccessKeyId: string; awsProfileName: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awsAppsync?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awsBedrockCustomModelImport?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string; bedrockModelImportS3Bucket: string }
  awsBedrockDataAutomation?: { awsBucketName: string; awsProfile?: string; awsRegion?: string }
  awsCdk?: NoSettings
  awsCore?: NoSettings
  awsDataprocessing?: { awsProfile: string; awsRegion: string }
  awsDiagram?: { outputDir: string }
  awsDocumentation?: NoSettings
  awsHealthomics?: { awsProfile: string; awsRegion: string }
  awsIotSitewise?: { awsProfile: string; awsRegion: string }
  awsKbRetrievalServer?: { accessKeyId: string; awsSecretAccessKey?: string }
  awsLocation?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awsMsk?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awsPricing?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awsTerraform?: NoSettings
  awslabsBillingCostManagement?: { awsProfile: string; awsRegion: string; storageLensManifestLocation: string }
  awslabsCcapi?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string }
  awslabsCfn?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awslabsCloudtrail?: { awsProfile: string }
  awslabsCloudwatch?: { awsProfile: string; awsRegion: string }
  awslabsCloudwatchAppsignals?: { awsProfile: string; awsRegion: string }
  awslabsCostExplorer?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awslabsDynamodb?: { awsProfile: string; awsRegion: string }
  awslabsElasticache?: { awsProfile: string; awsRegion: string }
  awslabsIam?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string }
  awslabsMemcached?: { memcachedHost: string; memcachedPort?: string }
  awslabsNovaCanvas?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awslabsRedshift?: { awsProfile: string; awsRegion: string }
  awslabsS3Tables?: { awsAccessKeyId: string; awsProfile: string; awsRegion: string; awsSecretAccessKey: string; awsSessionToken: string }
  awslabsTimestreamForInfluxdb?: { awsProfile: string; awsRegion: string }
  awslabsValkey?: { valkeyHost: string; valkeyPort: string }
  azure?: NoSettings
  beagleSecurity?: { beagleSecurityApiToken: string }
  bitrefill?: { apiId: string; apiSecret?: string }
  box?: { clientId: string; clientSecret?: string }
  brave?: { apiKey: string }
  browserbase?: { apiKey: string; geminiApiKey?: string; projectId: string }
  buildkite?: { apiToken: string }
  camunda?: { camundahost: string }
  charmhealth?: { charmhealthApiKey: string; charmhealthBaseUrl: string; charmhealthClientId: string; charmhealthClientSecret: string; charmhealthRedirectUri: string; charmhealthRefreshToken: string; charmhealthTokenUrl: string }
  chroma?: { apiKey: string }
  circleci?: { token: string; url: string }
  clickhouse?: { connectTimeout: string; host: string; password: string; port: string; secure: string; sendReceiveTimeout: string; user: string; verify: string }
  close?: { apiKey: string }
  cloudRun?: { credentialsPath: string }
  cloudflareDocs?: NoSettings
  cockroachdb?: { caPath: string; crdbPwd: string; database: string; host: string; port: number; sslCertfile: string; sslKeyfile: string; sslMode: string; username: string }
  codeInterpreter?: NoSettings
  context7?: { apiKey: string }
  couchbase?: { cbBucketName: string; cbConnectionString: string; cbMcpReadOnlyQueryMode: string; cbPassword: string; cbUsername: string }
  cylera?: { cyleraBaseUrl: string; cyleraPassword: string; cyleraUsername: string }
  cyreslabAiShodan?: { shodanApiKey: string }
  dappier?: { apiKey: string }
  dappierRemote?: { dappierRemoteApiKey: string }
  dart?: { host: string; token: string }
  databaseServer?: { databaseUrl: string }
  databutton?: NoSettings
  deepwiki?: NoSettings
  descope?: { managementKey?: string; projectId: string }
  desktopCommander?: { paths: string[] }
  devhubCms?: { devhubApiKey?: string; devhubApiSecret?: string; url: string }
  discord?: { discordToken: string }
  dockerhub?: { hubPatToken: string; username: string }
  dodoPayments?: { dodoPaymentsApiKey: string }
  dotnetTypesExplorer?: NoSettings
  dreamfactory?: { dreamfactoryapikey: string; dreamfactoryurl: string }
  duckduckgo?: NoSettings
  dynatrace?: { oauthClientId: string; oauthClientSecret: string; url: string }
  e2b?: { apiKey: string }
  edubase?: { apiKey?: string; app: string; url: string }
  effect?: NoSettings
  elasticsearch?: { esApiKey?: string; url: string }
  elevenlabs?: { apiKey?: string; data: string }
  everart?: { apiKey: string }
  exa?: { apiKey: string }
  explorium?: { apiAccessToken: string }
  fetch?: NoSettings
  fibery?: { apiToken: string; host: string }
  filesystem?: { paths: string[] }
  findADomain?: NoSettings
  firecrawl?: { apiKey: string; creditCriticalThreshold: number; creditWarningThreshold: number; retryBackoffFactor: number; retryDelay: number; retryMax: number; retryMaxDelay: number; url: string }
  firewalla?: { boxId: string; firewallaMspToken: string; mspId: string }
  geminiApiDocs?: NoSettings
  git?: { paths: string[] }
  github?: { personalAccessToken: string }
  githubChat?: { githubApiKey: string }
  githubOfficial?: { githubPersonalAccessToken: string }
  gitlab?: { personalAccessToken: string; url: string }
  gitmcp?: NoSettings
  glif?: { apiToken: string; ids: string; ignoredSaved: boolean }
  gmail?: { emailAddress: string; emailPassword?: string }
  googleFlights?: NoSettings
  googleMaps?: { googleMapsApiKey: string }
  googleMapsComprehensive?: { googleMapsApiKey: string }
  grafana?: { apiKey: string; url: string }
  gyazo?: { accessToken: string }
  hackernews?: NoSettings
  hackle?: { apiKey: string }
  handwritingOcr?: { apiToken: string }
  hdx?: { appIdentifier: string }
  heroku?: { apiKey: string }
  hostinger?: { apitoken: string }
  hoverfly?: { data: string }
  hubspot?: { apiKey: string }
  huggingFace?: NoSettings
  hummingbot?: { apiUrl: string; hummingbotApiPassword?: string; hummingbotApiUsername?: string }
  husqvarnaAutomower?: { clientId: string; husqvarnaClientSecret: string }
  hyperbrowser?: { apiKey: string }
  hyperspell?: { collection: string; token: string; useResources: boolean }
  iaptic?: { apiKey?: string; appName: string }
  inspektorGadget?: { gadgetImages?: string; kubeconfig: string }
  javadocs?: NoSettings
  jetbrains?: { port: number }
  kafkaSchemaReg?: { registryUrl: string; schemaRegistryPassword?: string; schemaRegistryUser?: string; slimMode?: string; viewonly?: string }
  kagisearch?: { engine: string; kagiApiKey: string }
  keboola?: { kbcStorageToken: string; kbcWorkspaceSchema: string }
  kong?: { konnectAccessToken: string; region: string }
  kubectl?: { kubeconfig: string }
  kubernetes?: { configPath: string }
  lara?: { accessKeySecret?: string; keyId: string }
  line?: { channelAccessToken?: string; userId: string }
  linkedin?: { linkedinCookie: string; userAgent: string }
  llmtxt?: NoSettings
  maestro?: { apiKeyApiKey: string }
  manifold?: NoSettings
  mapbox?: { accessToken: string }
  mapboxDevkit?: { mapboxAccessToken: string }
  markdownify?: { paths: string[] }
  markitdown?: { paths: string[] }
  mavenTools?: NoSettings
  memory?: NoSettings
  mercadoLibre?: { mercadoLibreApiKey: string }
  mercadoPago?: { mercadoPagoApiKey: string }
  metabase?: { apiKey: string; metabaseurl: string; metabaseusername: string; password: string }
  minecraftWiki?: NoSettings
  mongodb?: { mdbMcpConnectionString: string }
  multiversxMx?: { network: string; wallet: string }
  n8n?: { apiKey: string; apiUrl: string }
  nasdaqDataLink?: { nasdaqDataLinkApiKey: string }
  needle?: { needleApiKey: string }
  neo4j?: { database: string; password: string; readOnly: boolean; telemetry: boolean; uri: string; username: string }
  neo4jCloudAuraApi?: { clientId: string; neo4jAuraClientSecret?: string; serverAllowOrigins?: string; serverAllowedHosts?: string; serverHost?: string; serverPath?: string; serverPort?: string; transport?: string }
  neo4jCypher?: { database?: string; namespace?: string; neo4jPassword?: string; readOnly?: boolean; readTimeout?: string; responseTokenLimit?: string; schemaSampleSize?: string; serverAllowOrigins?: string; serverAllowedHosts?: string; serverHost?: string; serverPath?: string; serverPort?: string; transport?: string; url: string; username: string }
  neo4jDataModeling?: { serverAllowOrigins: string; serverAllowedHosts: string; serverHost: string; serverPath: string; serverPort: string; transport: string }
  neo4jMemory?: { database?: string; neo4jPassword?: string; serverAllowOrigins?: string; serverAllowedHosts?: string; serverHost?: string; serverPath?: string; serverPort?: string; transport?: string; url: string; username: string }
  neon?: { apiKey: string }
  nextDevtools?: NoSettings
  nodeCodeSandbox?: NoSettings
  notion?: { internalIntegrationToken: string }
  novita?: NoSettings
  npmSentinel?: NoSettings
  obsidian?: { apiKey: string }
  okta?: { logPath: string; oktaClientId: string; oktaKeyId: string; oktaLogLevel: string; oktaOrgUrl: string; oktaPrivateKey: string; oktaScopes: string }
  oktaMcpFctr?: { clientOrgurl: string; concurrentLimit?: string; logLevel?: string; oktaApiToken?: string }
  omi?: { apiKey: string }
  onlyofficeDocspace?: { baseUrl: string; docspaceApiKey: string }
  openapi?: { mode: string }
  openapiSchema?: { SchemaPath: string }
  openbnbAirbnb?: NoSettings
  openmesh?: NoSettings
  openweather?: { owmApiKey: string }
  openzeppelinCairo?: NoSettings
  openzeppelinSolidity?: NoSettings
  openzeppelinStellar?: NoSettings
  openzeppelinStylus?: NoSettings
  opik?: { apiBaseUrl: string; apiKey: string; workspaceName: string }
  opine?: { opineApiKey: string }
  oracle?: { oracleConnectionString: string; oracleUser: string; password: string }
  ospMarketingTools?: NoSettings
  oxylabs?: { password?: string; username: string }
  paperSearch?: NoSettings
  perplexityAsk?: { perplexityApiKey: string }
  pia?: { apiKey: string }
  pinecone?: { apiKey: string; assistantHost: string }
  playwright?: { data: string }
  pluggedinMcpProxy?: { pluggedinApiBaseUrl: string; pluggedinApiKey: string }
  polarSignals?: { polarSignalsApiKey: string }
  pomodash?: { apiKey: string }
  postman?: { apiKey: string }
  prefEditor?: NoSettings
  prometheus?: { prometheusUrl: string }
  proxmox?: { host: string; password?: string; port?: string; timeout?: string; tokenName: string; tokenValue: string; user?: string; verifySsl?: string }
  puppeteer?: NoSettings
  pythonRefactoring?: NoSettings
  quantconnect?: { agentname: string; quantconnectapitoken: string; quantconnectuserid: string }
  ramparts?: NoSettings
  razorpay?: { keyId: string; keySecret?: string }
  reddit?: { redditClientId: string; redditClientSecret: string; redditPassword: string; username: string }
  redis?: { caCerts: string; caPath: string; certReqs: string; clusterMode: boolean; host: string; port: number; pwd: string; ssl: boolean; sslCertfile: string; sslKeyfile: string; username: string }
  redisCloud?: { apiKey: string; secretKey?: string }
  ref?: { apiKey: string }
  remote?: NoSettings
  render?: { apiKey: string }
  resend?: { apiKey?: string; replyTo: string; sender: string }
  risken?: { accessToken: string; url: string }
  ros2?: NoSettings
  rube?: { apiKey: string }
  rustMcpFilesystem?: { allowWrite: boolean; allowedDirectories: string[]; enableRoots: boolean }
  schemacrawlerAi?: { generalInfoLevel: string; generalLogLevel?: string; schcrwlrDatabasePassword?: string; schcrwlrDatabaseUser?: string; serverConnectionDatabase?: string; serverConnectionHost?: string; serverConnectionPort?: number; serverConnectionServer: string; urlConnectionJdbcUrl: string; volumeHostShare: string }
  schoginiMcpImageBorder?: NoSettings
  scrapegraph?: { sgaiApiKey: string }
  scrapezy?: { apiKey: string }
  securenoteLink?: NoSettings
  semgrep?: NoSettings
  sentry?: { authToken: string }
  sequa?: { apiKey: string; mcpServerUrl: string }
  sequentialthinking?: NoSettings
  shortIo?: { shortIoApiKey: string }
  simplechecklist?: NoSettings
  singlestore?: { mcpApiKey: string }
  slack?: { botToken?: string; channelIds?: string; teamId: string }
  smartbear?: { apiHubApiKey: string; bugsnagApiKey: string; bugsnagAuthToken: string; bugsnagEndpoint: string; pactBrokerBaseUrl: string; pactBrokerPassword: string; pactBrokerToken: string; pactBrokerUsername: string; reflectApiToken: string }
  sonarqube?: { org: string; token: string; url: string }
  sqlite?: NoSettings
  stackgen?: { token?: string; url: string }
  stackhawk?: { apiKey: string }
  stripe?: { secretKey: string }
  supadata?: { apiKey: string }
  suzieq?: { apiEndpoint: string; apiKey: string }
  taskOrchestrator?: NoSettings
  tavily?: { apiKey: string }
  teamwork?: { twMcpBearerToken: string }
  telnyx?: { apiKey: string }
  temporal?: { apiKey?: string; temporalHost: string; temporalNamespace: string; temporalTlsClientCertPath?: string; temporalTlsClientKeyPath?: string; temporalTlsEnabled?: string }
  terraform?: NoSettings
  testkube?: { tkAccessToken: string; tkControlPlaneUrl: string; tkEnvId: string; tkOrgId: string }
  textToGraphql?: { graphqlApiKey: string; graphqlAuthType: string; graphqlEndpoint: string; modelName: string; modelTemperature: number; openaiApiKey: string }
  thingsboard?: { password?: string; url: string; username?: string }
  tigris?: { awsAccessKeyId: string; awsEndpointUrlS3: string; awsSecretAccessKey?: string }
  time?: NoSettings
  unrealEngine?: { logLevel?: string; ueHost: string; ueRcHttpPort: string; ueRcWsPort: string }
  vectraAiRux?: { VECTRACLIENTID: string; vectraClientSecret?: string; vectraUrl?: string }
  veyrax?: { apiKey: string }
  victorialogs?: { mcpDisabledTools?: string; mcpHeartbeatInterval?: string; mcpListenAddr?: string; mcpServerMode?: string; vlInstanceBearerToken?: string; vlInstanceEntrypoint: string; vlInstanceHeaders?: string }
  victoriametrics?: { mcpDisableResources?: string; mcpDisabledTools?: string; mcpHeartbeatInterval?: string; mcpListenAddr?: string; mcpServerMode?: string; vmInstanceBearerToken?: string; vmInstanceEntrypoint: string; vmInstanceHeaders?: string; vmInstanceType: string }
  victoriatraces?: { mcpDisabledTools?: string; mcpHeartbeatInterval?: string; mcpListenAddr?: string; mcpServerMode?: string; vtInstanceBearerToken?: string; vtInstanceEntrypoint: string; vtInstanceHeaders?: string }
  vizro?: NoSettings
  vulnNist?: NoSettings
  wayfound?: { mcpApiKey: string }
  webflow?: { token: string }
  wikipedia?: NoSettings
  wolframAlpha?: { wolframApiKey: string }
  youtubeTranscript?: NoSettings
  zen?: { geminiApiKey: string; openaiApiKey: string; openrouterApiKey: string; xaiApiKey: string }
  zerodhaKite?: { kiteAccessToken?: string; kiteApiKey: string; kiteApiSecret?: string; kiteRedirectUrl?: string }
  zscaler?: { disabledServices: string; disabledTools: string; skipConfirmations: string; writeEnabled: string; writeTools: string; zscalerClientId: string; zscalerClientSecret: string; zscalerCloud: string; zscalerCustomerId: string; zscalerVanityDomain: string }
}
