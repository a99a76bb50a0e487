-- Asks authz about a call before HAProxy passes it on, and sets txn.gatehouse to `allowed` where it may pass.
local url = os.getenv("GATEHOUSE_URL")
local verifier = os.getenv("GATEHOUSE_VERIFIER")

-- Longer than authz takes; then the call is refused.
local TIMEOUT_MS = 1000

-- Who calls, which only authz says; and the hash of a signed body.
local IDENTITY = {
  "gatehouse-key-id", "gatehouse-key-kind", "gatehouse-account-id", "gatehouse-account-slug",
  "gatehouse-organization-id", "gatehouse-decision-id", "gatehouse-content-sha256",
}
-- What is for authz and for no backend.
local CONSUMED = {
  "authorization", "x-api-key", "gatehouse-account", "gatehouse-verifier", "gatehouse-status", "gatehouse-problem",
  "gatehouse-key", "gatehouse-algorithm", "gatehouse-timestamp", "gatehouse-nonce", "gatehouse-signature",
}
-- What is about the call's own connection and body, or says in other words what is called.
local NOT_ASKED = {
  "connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect", "host", "content-length",
  "transfer-encoding", "x-original-method", "x-original-uri", "x-original-url",
}

-- What an upstream credential may be set for.
local function is_credential(name)
  local is_named = name == "authorization" or name == "apikey" or name:find("%-key$") or name:find("%-token$")
  return is_named and not name:find("^gatehouse%-")
end

local function question(txn)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    headers[name] = {}
    for i = 0, #values do table.insert(headers[name], values[i]) end
  end
  for _, name in ipairs(NOT_ASKED) do headers[name] = nil end
  headers["gatehouse-verifier"] = { verifier }
  headers["x-forwarded-method"] = { txn.f:method() }
  headers["x-forwarded-uri"] = { txn.f:pathq() }
  headers["x-forwarded-for"] = headers["x-forwarded-for"] or {}
  table.insert(headers["x-forwarded-for"], txn.f:src())
  return headers
end

local SHOWN = { "content-type", "cache-control", "www-authenticate", "retry-after", "ratelimit", "ratelimit-policy" }

local function refuse(txn, status, headers, body)
  local reply = txn:reply({ status = status, body = body })
  for _, name in ipairs(SHOWN) do
    local values = headers[name]
    if values then reply:add_header(name, values[0]) end
  end
  txn:done(reply)
end

core.register_action("gatehouse", { "http-req" }, function(txn)
  local answer = core.httpclient():get({ url = url, headers = question(txn), timeout = TIMEOUT_MS })
  local said = answer and answer.headers or {}
  -- The status is authz's own only where it says so: what HAProxy makes up of a failure does not.
  if not said["gatehouse-status"] then return end
  if answer.status ~= 200 then return refuse(txn, answer.status, said, answer.body) end
  local is_bearer = string.lower(txn.f:req_hdr("authorization") or ""):find("^bearer") ~= nil
  for _, name in ipairs(CONSUMED) do
    -- An authorization that was no key is the backend's.
    if name ~= "authorization" or is_bearer then txn.http:req_del_header(name) end
  end
  for _, name in ipairs(IDENTITY) do
    txn.http:req_del_header(name)
    local value = said[name] and said[name][0] or ""
    if value ~= "" then txn.http:req_set_header(name, value) end
  end
  for name, values in pairs(said) do
    if is_credential(name) then txn.http:req_set_header(name, values[0]) end
  end
  txn:set_var("txn.gatehouse", "allowed")
end)
